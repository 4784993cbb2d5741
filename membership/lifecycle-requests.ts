/**
 * What operators and the node itself ask of the lifecycle machine: stop, leave for good, take no
 * writes, forget another instance, accept a loss.
 */
import type { InstanceId } from '../model/ids.ts';
import { openBallot } from './lifecycle-ballots.ts';
import { amendOwn, becomeUnready, write } from './lifecycle-draft.ts';
import type { Draft } from './lifecycle-types.ts';
import { type InstanceRecord, isVoter } from './registry/index.ts';

/** LEAVING, and stays registered: a later start takes up the place again. */
export function stop(draft: Draft): void {
  becomeUnready(draft, 'stopping');
  if (isVoter(draft.own)) {
    draft.ballots.clear();
    amendOwn(draft, { state: 'LEAVING', proposal: 'none' });
    draft.phase = 'leaving';
  }
  draft.effects.push({ type: 'stopped' });
}

/** Leaves for good, once a majority knows of it. */
export function requestLeave(draft: Draft): void {
  if (draft.phase !== 'active') return;
  becomeUnready(draft, 'leaving for good');
  draft.phase = 'retiring';
  amendOwn(draft, { state: 'LEAVING', proposal: 'leave' });
}

/** Takes no more writes, or takes them again. */
export function setReadonly(draft: Draft, isReadonly: boolean): void {
  if (draft.phase === 'active') amendOwn(draft, { state: isReadonly ? 'READONLY' : 'ACTIVE' });
}

/** Proposes to remove another instance; a majority decides. */
export function requestForget(draft: Draft, id: InstanceId, acceptsLoss: boolean): void {
  const known = draft.registry.instances.get(id);
  const why = whyNotForget(draft, known);
  if (known?.state === 'FORGOTTEN') draft.effects.push({ type: 'forget-done', id });
  else if (why !== undefined) draft.effects.push({ type: 'forget-failed', id, why });
  else if (known !== undefined) {
    const record: InstanceRecord = { ...known, proposal: 'forget' };
    write(draft, [record]);
    openBallot(draft, 'forget', { record, acceptsLoss });
  }
}

function whyNotForget(draft: Draft, known: InstanceRecord | undefined): string | undefined {
  if (known === undefined || known.state === 'LEFT') return 'no such instance is registered';
  if (known.id === draft.config.instanceId) return 'an instance cannot forget itself';
  if (draft.phase !== 'active') return 'this instance is not active';
  return undefined;
}

/** Reads need not count a forgotten instance as missing any more. */
export function acceptLoss(draft: Draft, id: InstanceId): void {
  const known = draft.registry.instances.get(id);
  if (known?.state !== 'FORGOTTEN' || known.missingBeforeMs === 0) return;
  write(draft, [{ ...known, version: known.version + 1, missingBeforeMs: 0 }]);
}
