// The layer rule (docs/ARCHITECTURE.md): arrows point down only; engines on one floor are strangers.
const layers = [
  ['model'],
  ['platform'],
  ['storage', 'promql', 'membership'],
  ['actors'],
  ['http', 'proto'],
  ['cli', 'sim', 'bench', 'test'],
];
const upward = layers.slice(0, -1).map((from, i) => ({
  name: `no-upward-from-L${i + 1}`,
  severity: 'error',
  comment:
    'Arrows point down (docs/ARCHITECTURE.md): lower layers must run without the upper ones.',
  from: { path: `^(${from.join('|')})/` },
  to: {
    path: `^(${layers
      .slice(i + 1)
      .flat()
      .join('|')})/`,
  },
}));
export default {
  forbidden: [
    ...upward,
    {
      name: 'engines-are-strangers',
      severity: 'error',
      comment: 'Engines meet only in actors/.',
      from: { path: '^(storage|promql|membership)/' },
      to: { path: '^(storage|promql|membership)/', pathNot: '^$1/' },
    },
    {
      name: 'edges-see-messages-only',
      severity: 'error',
      comment: 'Edges translate; they do not reach into an actor.',
      from: { path: '^(http|proto)/' },
      to: { path: '^actors/', pathNot: '/messages\\.ts$|^actors/runtime/' },
    },
    {
      name: 'effects-at-the-rim',
      severity: 'error',
      comment: 'Through platform/, or the simulator cannot fake it.',
      from: {
        path: '^(model|platform/(?!node/)|storage|promql|membership|actors|sim/(?!main|globals))',
      },
      to: {
        dependencyTypes: ['core'],
        path: '^(node:)?(fs|net|dgram|http|http2|https|timers|child_process|worker_threads)(/|$)',
      },
    },
    {
      name: 'platform-node-is-composed-at-the-top',
      severity: 'error',
      comment: 'Only composition roots choose the real platform.',
      from: { pathNot: '^(cli|test|bench|platform/node|sim/main)' },
      to: { path: '^platform/node/' },
    },
    {
      name: 'nobody-imports-tests',
      severity: 'error',
      from: { pathNot: '^(test|bench)/' },
      to: { path: '^(test|bench)/' },
    },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
  ],
  options: {
    exclude: { path: '^(dist|node_modules|ui)/' },
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
  },
};
