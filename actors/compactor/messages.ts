/**
 * The compactor's whole protocol. All of it is local: instances share work through the bucket and the ring.
 *
 *   tick             time passes: a run begins when it is due
 *   ran              a run has ended
 *   status           what it does and what is planned
 *   delete-tenant    marks a tenant: all of its blocks will go
 *   tenant-deletion  how far that is; null: nobody asked for it
 */
import type { TenantId } from '../../model/ids.ts';
import type { CompactorStatus, TenantDeletion } from '../../storage/index.ts';
import type { Reply } from '../runtime/index.ts';

export const COMPACTOR_PATH = '/compactor';

export type CompactorMessage =
  | { readonly type: 'delete-tenant'; readonly tenant: TenantId; readonly reply: Reply<null> }
  | { readonly type: 'ran' }
  | { readonly type: 'status'; readonly reply: Reply<CompactorStatus> }
  | {
      readonly type: 'tenant-deletion';
      readonly tenant: TenantId;
      readonly reply: Reply<TenantDeletion | null>;
    }
  | { readonly type: 'tick'; readonly nowMs: number };
