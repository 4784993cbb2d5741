/** The distributor's whole protocol: a push body in, an outcome out. Local only. */
import type { StarlingError } from '../../model/errors.ts';
import type { TenantId } from '../../model/ids.ts';
import type { Reply } from '../runtime/index.ts';

export const DISTRIBUTOR_PATH = '/distributor';

export interface PushOutcome {
  readonly samplesStored: number;
  /** Set when some series or samples were refused: the rest was stored. */
  readonly refused: StarlingError | undefined;
}

export type DistributorMessage = {
  readonly type: 'push';
  readonly tenant: TenantId;
  readonly body: Uint8Array;
  readonly reply: Reply<PushOutcome>;
};
