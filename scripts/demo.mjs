// npm run demo: a cluster of three nodes on this machine, with demo data flowing, until Ctrl-C.
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { build, root } from './lib.mjs';

const NODES = 3;
build();
const data = join(root, 'data', 'demo');
mkdirSync(data, { recursive: true });
const children = [];
let isStopping = false;

/** Starts a node; its seeds are the other two. */
function startNode(i) {
  const seeds = Array.from({ length: NODES }, (_, j) => j).filter((j) => j !== i);
  const args = [
    'serve',
    `--http.listen=127.0.0.1:${9009 + i}`,
    `--grpc.listen=127.0.0.1:${9095 + i}`,
    `--gossip.listen=127.0.0.1:${7946 + i}`,
    `--data-dir=${join(data, `node-${i + 1}`)}`,
    `--instance-id=node-${i + 1}`,
    `--zone=zone-${i + 1}`,
    '--log.level=warn',
    ...seeds.map((j) => `--join=127.0.0.1:${9095 + j}`),
  ];
  return start(`node-${i + 1}`, join(root, 'dist/cli/main.js'), args);
}

function start(name, program, args) {
  const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  children.push(child);
  child.on('exit', (code) => {
    if (isStopping) return;
    console.error(`${name} stopped with code ${code}`);
    void stop(1);
  });
  return child;
}

async function ready(port) {
  for (let attempt = 0; attempt < 300; attempt++) {
    try {
      if ((await fetch(`http://127.0.0.1:${port}/ready`)).ok) return;
    } catch {
      // not listening yet
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the node on port ${port} did not become ready`);
}

async function stop(code) {
  if (isStopping) return;
  isStopping = true;
  await Promise.all(
    children.map(
      (child) =>
        new Promise((resolve) => {
          if (child.exitCode !== null || child.signalCode !== null) return resolve();
          child.once('exit', resolve);
          child.kill('SIGTERM');
          setTimeout(() => child.kill('SIGKILL'), 15_000).unref();
        }),
    ),
  );
  process.exit(code);
}

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => void stop(0));
for (let i = 0; i < NODES; i++) startNode(i);
try {
  for (let i = 0; i < NODES; i++) await ready(9009 + i);
} catch (error) {
  console.error(error.message);
  await stop(1);
}
start('demo data', process.execPath, [
  join(root, 'dist/cli/demo-data.js'),
  ...Array.from({ length: NODES }, (_, i) => `http://127.0.0.1:${9009 + i}`),
]);
console.log(`
three nodes are ready, and demo data is flowing; their data is in ${data}

  curl -s 'http://127.0.0.1:9009/prometheus/api/v1/query?query=count(up)'
  curl -s 'http://127.0.0.1:9010/prometheus/api/v1/query?query=sum%20by%20(mode)(rate(demo_cpu_usage_seconds_total%5B1m%5D))'
  curl -s 'http://127.0.0.1:9011/ring'

  Grafana: data source Prometheus, URL http://127.0.0.1:9009/prometheus
  Ctrl-C stops everything.
`);
