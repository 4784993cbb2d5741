/**
 * Types of the npm package `swim` 0.6.0, as far as the adapters use it: the shell and the seam of
 * its five parts. The package ships none.
 */
declare module 'swim' {
  import type { EventEmitter } from 'node:events';

  /** A member in the package's vocabulary: state 0 alive, 1 suspect, 2 faulty. */
  export interface SwimMember {
    readonly meta: unknown;
    readonly host: string;
    readonly state: 0 | 1 | 2;
    readonly incarnation: number;
  }

  export interface SwimCodec {
    encode(message: never): Uint8Array;
    decode(bytes: Uint8Array): unknown;
  }

  export interface SwimLifetime {
    start(): void;
    stop(): void;
  }

  export interface SwimMembership extends EventEmitter, SwimLifetime {
    all(hasLocal?: boolean, hasFaulty?: boolean): SwimMember[];
    checksum(): unknown;
    get(host: string): SwimMember | undefined;
    localhost(): string;
    size(hasLocal?: boolean): number;
    sync(hosts: readonly string[]): void;
    updateMeta(meta: unknown): void;
  }

  export interface SwimNet extends EventEmitter {
    listen(callback: (error?: Error) => void): void;
    close(): void;
  }

  class Swim extends EventEmitter {
    opts: { readonly local: { readonly host: string }; readonly udp: { readonly type: string } };
    codec: SwimCodec;
    disseminator: SwimLifetime;
    failureDetector: SwimLifetime;
    membership: SwimMembership;
    net: SwimNet;
    state: string;
    joinTimeout: number;
    joinCheckInterval: number;
    changeListener: (...values: unknown[]) => void;
    updateListener: (...values: unknown[]) => void;
    debug: (...values: unknown[]) => void;

    bootstrap(hosts: readonly string[], callback: (error?: Error) => void): void;
    join(hosts: readonly string[], callback?: (error?: Error) => void): void;
    leave(): void;
    members(hasLocal?: boolean, hasFaulty?: boolean): SwimMember[];
    checksum(): unknown;
    localhost(): string;
    whoami(): string;
    updateMeta(meta: unknown): void;

    static State: { readonly Started: string; readonly Stopped: string };
    static EventType: {
      readonly Change: 'change';
      readonly Update: 'update';
      readonly Error: 'error';
      readonly Ready: 'ready';
    };
    static Default: { readonly joinTimeout: number; readonly joinCheckInterval: number };
  }

  export default Swim;
}
