// The rules that carry the house style. Effects (time, randomness, disk, network, threads) are
// banned everywhere but at the rim, because the simulator can only fake what goes through platform/.
import tseslint from 'typescript-eslint';

const effectGlobals = [
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'fetch',
  'performance',
  'crypto',
  'Date',
  'process',
  'AbortSignal',
  'WeakRef',
  'FinalizationRegistry',
  'globalThis',
  'global',
];
const effectModules =
  '^(node:)?(fs|net|dgram|http|http2|https|dns|tls|timers|child_process|worker_threads|os|perf_hooks|crypto)(/|$)';

/** The only places that may touch the outside world. */
const rim = [
  'cli/**/*.ts',
  'platform/node/**/*.ts',
  'proto/grpc-*.ts',
  'http/server.ts',
  'sim/main.ts',
  'sim/globals.ts',
  'bench/**/*.ts',
  'test/**/*.ts',
];

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', '.tap/', 'data/', '*.js', '*.mjs', 'scripts/', 'ui/'] },
  ...tseslint.configs.strictTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: {
      parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname },
    },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      'max-lines': ['error', { max: 500, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 70, skipBlankLines: true, skipComments: true }],
      'no-restricted-globals': ['error', ...effectGlobals],
      'no-restricted-properties': ['error', { object: 'Math', property: 'random' }],
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            { regex: effectModules, message: 'Effects go through platform/.' },
            { regex: '^@aws-sdk/', message: 'Only platform/node/bucket may.' },
          ],
        },
      ],
      '@typescript-eslint/no-non-null-assertion': 'off',
      'no-restricted-syntax': [
        'error',
        {
          selector: 'TSNonNullExpression:not(:has(> MemberExpression[computed=true]))',
          message: 'Only `a[i]!` may assert.',
        },
      ],
      '@typescript-eslint/no-floating-promises': [
        'error',
        { allowForKnownSafeCalls: [{ from: 'package', package: '@tapjs/test', name: 'test' }] },
      ],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_' },
      ],
      '@typescript-eslint/no-unsafe-enum-assignment': 'off', // there are none: erasable syntax only
      '@typescript-eslint/prefer-for-of': 'off',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/consistent-type-definitions': 'off',
      '@typescript-eslint/class-literal-property-style': 'off',
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: true },
      ],
    },
  },
  {
    files: rim,
    rules: {
      'no-restricted-globals': 'off',
      'no-restricted-properties': 'off',
      '@typescript-eslint/no-restricted-imports': 'off',
    },
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: {
      '@typescript-eslint/require-await': 'off',
      'max-lines-per-function': 'off',
    },
  },
);
