/** Instances that behave as told, for `gather`: what they are asked, and what they answer. */
import { NodeBytes, QueryBytes } from '../../actors/querier/byte-budget.ts';
import type { GatherOptions } from '../../actors/querier/gather.ts';
import type { ReadSummary } from '../../actors/ingester/messages.ts';
import type { InstanceRecord } from '../../membership/index.ts';
import { StarlingError } from '../../model/errors.ts';
import type { InstanceId } from '../../model/ids.ts';

export type Behaviour = 'bad' | 'corrupt' | 'down' | 'hangs' | 'ok' | 'stranger';

/** Three instances of which one may be missing; `extra` becomes known after a pull. */
export function gatherWorld(behaviours: Record<string, Behaviour>, extra?: string, isLate = false) {
  const asked: string[] = [];
  const cancelled: string[] = [];
  let known = Object.keys(behaviours).filter((id) => id !== extra);
  const options: GatherOptions = {
    digest: () => String(known.length),
    plan: () => {
      const planned = [...known];
      return {
        instancesToAsk: planned.map((id) => ({ id }) as InstanceRecord), // nothing else is read
        areReplicas: true,
        isComplete: (answered) => {
          const missing = planned.filter((id) => !answered.has(id as InstanceId));
          return missing.length <= 1
            ? { ok: true }
            : { ok: false, missing: missing.join(), tolerated: 1 };
        },
      };
    },
    order: (instances) => instances,
    hedge: (callback) => {
      if (isLate) setImmediate(callback);
      return () => undefined;
    },
    ask: (instance, onFrame) => {
      asked.push(instance);
      const behaviour = behaviours[instance];
      onFrame(Buffer.from(`${instance} frame`));
      const summary: ReadSummary = {
        digest: behaviour === 'stranger' ? '4' : String(known.length),
        oldestTimeMs: 5,
      };
      const done =
        behaviour === 'down'
          ? Promise.reject(new StarlingError('node.unreachable', { instance, why: 'down' }))
          : behaviour === 'bad'
            ? Promise.reject(new StarlingError('query.parse', { text: 'bad regexp' }))
            : behaviour === 'corrupt'
              ? Promise.reject(new StarlingError('protobuf.corrupt', { why: 'odd', offset: 0 }))
              : behaviour === 'hangs'
                ? new Promise<ReadSummary>(() => undefined)
                : Promise.resolve(summary);
      return { done, cancel: () => void cancelled.push(instance) };
    },
    pullRegistry: async () => {
      if (extra !== undefined) known = Object.keys(behaviours);
    },
    knowsRegistryOf: async (instance) => behaviours[instance] !== 'stranger' || extra !== undefined,
    bytes: new QueryBytes(new NodeBytes(2000), 1000),
  };
  return { options, asked, cancelled };
}
