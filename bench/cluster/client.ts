/** HTTP clients of the benchmark: eight keep-alive connections that post, one that queries. */
import { Agent, request } from 'node:http';

export const CONNECTIONS = 8;

export interface PushOutcome {
  readonly latenciesMs: readonly number[];
  readonly failures: number;
  readonly wallSeconds: number;
}

export function createAgents(): readonly Agent[] {
  return Array.from({ length: CONNECTIONS }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
}

/** Posts rounds `from..to`; request r always goes over connection r mod 8, to node r mod 8 mod nodes. */
export async function pushRounds(
  urls: readonly string[],
  bodies: readonly (readonly Buffer[])[],
  from: number,
  to: number,
  agents: readonly Agent[],
): Promise<PushOutcome> {
  const latenciesMs: number[] = [];
  let failures = 0;
  const started = performance.now();
  await Promise.all(
    agents.map(async (agent, connection) => {
      const url = urls[connection % urls.length]!;
      for (let round = from; round < to; round++) {
        const requests = bodies[round]!;
        for (let r = connection; r < requests.length; r += agents.length) {
          const begun = performance.now();
          const status = await post(url, requests[r]!, agent);
          latenciesMs.push(performance.now() - begun);
          if (status >= 300) failures++;
        }
      }
    }),
  );
  return { latenciesMs, failures, wallSeconds: (performance.now() - started) / 1000 };
}

export function post(url: string, body: Buffer, agent: Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      {
        method: 'POST',
        agent,
        headers: {
          'content-type': 'application/x-protobuf',
          'content-encoding': 'snappy',
          'x-prometheus-remote-write-version': '0.1.0',
          'content-length': body.length,
        },
      },
      (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode ?? 0));
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

export async function getJson(url: string): Promise<unknown> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return response.json();
}
