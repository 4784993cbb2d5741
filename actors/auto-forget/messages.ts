/**
 * The whole protocol of forgetting by itself: time passes, and another instance asks whether this one, too,
 * has seen an instance down for so long. What follows from it is asked of the membership actor (`forget`).
 */
import type { InstanceId } from '../../model/ids.ts';
import type { Reply } from '../runtime/index.ts';

export const AUTO_FORGET_PATH = '/auto-forget';

export type AutoForgetMessage =
  | {
      readonly type: 'seen-down';
      readonly instance: InstanceId;
      readonly forMs: number;
      readonly reply: Reply<boolean>;
    }
  | { readonly type: 'tick' };
