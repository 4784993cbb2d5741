/**
 * The five working parts of the npm package `swim`, replaced. Each offers what the package's shell
 * calls and delegates to the core; none keeps state, sends, or decodes by itself.
 *
 *   Codec -> HardCodec            the strict binary schema
 *   Net -> HardNet                the socket of the platform, behind the cipher
 *   FailureDetector -> LifeguardDetector   probes and suspicion run while it is started
 *   Membership -> RingMembership  the core's view in the package's words
 *   Disseminator -> ByteDisseminator       the gossip queue
 */
import { EventEmitter } from 'node:events';
import type { SwimCodec, SwimLifetime, SwimMember, SwimMembership, SwimNet } from 'swim';
import { decodePayload, encodeMessage, type DecodedPayload, type Message } from '../swim/codec.ts';
import type { MemberEvent, MemberState, MemberView } from '../swim/types.ts';
import type { SwimHost } from './host.ts';

/** Encodes and decodes gossip messages. */
export class HardCodec implements SwimCodec {
  encode(message: Message): Uint8Array {
    return encodeMessage(message);
  }

  decode(bytes: Uint8Array): DecodedPayload {
    return decodePayload(bytes);
  }
}

/** Binds and closes the socket. Messages leave through the core only. */
export class HardNet extends EventEmitter implements SwimNet {
  readonly #host: SwimHost;

  constructor(host: SwimHost) {
    super();
    this.#host = host;
  }

  listen(callback: (error?: Error) => void): void {
    this.#host.listen().then(
      () => callback(),
      (error: unknown) => callback(error instanceof Error ? error : new Error(String(error))),
    );
  }

  close(): void {
    this.#host.closeSocket();
  }
}

/** Runs the probes while started. */
export class LifeguardDetector implements SwimLifetime {
  readonly #host: SwimHost;

  constructor(host: SwimHost) {
    this.#host = host;
  }

  start(): void {
    this.#host.startTicking();
  }

  stop(): void {
    this.#host.stopTicking();
  }
}

/** The gossip queue lives in the core and runs with the probes; this shows that it is there. */
export class ByteDisseminator implements SwimLifetime {
  readonly #host: SwimHost;

  constructor(host: SwimHost) {
    this.#host = host;
  }

  get waitingCount(): number {
    return this.#host.waitingCount();
  }

  start(): void {
    // Started by the detector: one timer drives all of the core.
  }

  stop(): void {
    // Stopped by the detector.
  }
}

/** Member states in the package's numbers; what left is faulty there. */
const STATE_CODES: Readonly<Record<MemberState, SwimMember['state']>> = {
  alive: 0,
  suspect: 1,
  dead: 2,
  left: 2,
};
const FAULTY = 2;

/** The view, in the package's words: a member is named by its address, its id is in `meta`. */
export class RingMembership extends EventEmitter implements SwimMembership {
  readonly #host: SwimHost;
  #unsubscribe: (() => void) | undefined;

  constructor(host: SwimHost) {
    super();
    this.#host = host;
  }

  start(): void {
    this.#unsubscribe ??= this.#host.onEvent((event) => this.#pass(event));
  }

  stop(): void {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }

  all(hasLocal = false, hasFaulty = false): SwimMember[] {
    const members = this.#host.members().map(toSwimMember);
    const seen = hasFaulty ? members : members.filter((member) => member.state !== FAULTY);
    return hasLocal ? [...seen, toSwimMember(this.#host.self())] : seen;
  }

  get(host: string): SwimMember | undefined {
    return this.all().find((member) => member.host === host);
  }

  size(hasLocal = false): number {
    return this.all(hasLocal).length;
  }

  localhost(): string {
    return this.#host.address();
  }

  sync(hosts: readonly string[]): void {
    this.#host.join(hosts);
  }

  /** Equal on nodes with equal views: id, boot, incarnation and state of all, in order of id. */
  checksum(): string {
    const views = [...this.#host.members(), this.#host.self()];
    const lines = views.map((m) => `${m.id} ${m.boot} ${m.incarnation} ${m.state}`).sort();
    let hash = 0xcbf29ce484222325n;
    for (const character of lines.join('\n')) {
      hash ^= BigInt(character.charCodeAt(0));
      hash = (hash * 0x100000001b3n) & 0xffffffffffffffffn;
    }
    return hash.toString(16).padStart(16, '0');
  }

  updateMeta(_meta: unknown): void {
    throw new TypeError('gossip: metadata belongs in the registry; use broadcast()');
  }

  #pass(event: MemberEvent): void {
    if (event.type === 'conflict') return;
    const member = toSwimMember(event.member);
    if (event.type !== 'suspect') this.emit('change', member);
    this.emit('update', member);
  }
}

function toSwimMember(view: MemberView): SwimMember {
  return {
    meta: { id: view.id, boot: view.boot, controlAddress: view.controlAddress },
    host: view.address,
    state: STATE_CODES[view.state],
    incarnation: view.incarnation,
  };
}
