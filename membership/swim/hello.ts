/**
 * The first frames of a stream: each side proves to the other who it is and that it holds a cluster
 * key, before anything else is read or sent. Three messages, so one round trip before the first ask:
 *
 *   dialler                                                            acceptor
 *   DIAL    version 2 | 1 | mode 1 | label hash 4 | key id 4 | head ────────>
 *   <──────────────────────────────────── ACCEPT  version | 2 | head | proof 32
 *   CONFIRM version | 3 | proof 32 ─────────────────────────────────────────>
 *                    or  <── REFUSE  version | 4 | reason 1 | protocol 1
 *
 *   head = protocol 1 | boot u32 | nonce 16 | own id | other id (the dialler may not know it: '')
 *
 * A proof is an HMAC-SHA256 over its direction, DIAL, ACCEPT without its proof, and the label. So it
 * covers both ids, boots, protocols and nonces: a recorded one fits no other stream, and neither
 * side's proof is ever the other's. Its key is HKDF(cluster key, both nonces), of a purpose of its own.
 * Without a cluster key the label keys it: that keeps clusters apart and proves nothing more. Who
 * relays a whole stream unseen is stopped only by TLS.
 */
import type { InstanceId } from '../../model/ids.ts';
import type { Ciphers, Random } from '../../platform/platform.ts';
import { ByteReader, ByteWriter } from './bytes.ts';
import { type Keyring, deriveBootKey, isEqualBytes } from './keyring.ts';
import { GOSSIP_PROTOCOL } from './types.ts';

const HELLO_VERSION = 2;
const DIAL = 1;
const ACCEPT = 2;
const CONFIRM = 3;
const REFUSE = 4;
const NONCE_BYTES = 16;
const PROOF_BYTES = 32;
/** No message of a hello is longer. */
export const HELLO_BYTES_MAX = 256;
/** Stands for the id of a peer that is dialled by its address alone. */
const ANYBODY = '' as InstanceId;

/** Who is at the other end of a stream. */
export interface Hello {
  readonly id: InstanceId;
  readonly boot: number;
  readonly protocol: number;
}

/** Numbers are the wire's: append only. */
const REFUSALS = [
  'malformed',
  'mode',
  'label',
  'key_unknown',
  'proof',
  'protocol',
  'instance',
] as const;
export type HelloRefusal = (typeof REFUSALS)[number];

/** `why` is for people, `reply` what to send before the stream is closed. */
export interface RefusedHello {
  readonly refused: HelloRefusal;
  readonly why: string;
  readonly reply: Uint8Array | undefined;
}

/** The dialler's half: it sends `first`, and after a good answer `last`. */
export interface DialledHello {
  readonly first: Uint8Array;
  /** Takes the acceptor's answer. Never throws. */
  receive(answer: Uint8Array): { readonly peer: Hello; readonly last: Uint8Array } | RefusedHello;
}

/** The acceptor's half: it answers the first message, and knows its peer after the second. */
export interface AcceptedHello {
  /** Takes the next message. Never throws. */
  receive(
    message: Uint8Array,
  ): { readonly reply: Uint8Array } | { readonly peer: Hello } | RefusedHello;
}

export interface HelloOptions {
  readonly ring: Keyring;
  readonly id: InstanceId;
  readonly boot: number;
  /** What this node speaks; it also talks to one older and one newer. */
  readonly protocol?: number;
}

interface Head {
  readonly hello: Hello;
  readonly nonce: Uint8Array;
  readonly other: InstanceId;
}

/** Makes both halves of hellos. */
export class HelloCipher {
  readonly #ciphers: Ciphers;
  readonly #random: Random;
  #self: Hello;
  #ring: Keyring;

  constructor(ciphers: Ciphers, random: Random, options: HelloOptions) {
    this.#ciphers = ciphers;
    this.#random = random;
    this.#self = {
      id: options.id,
      boot: options.boot,
      protocol: options.protocol ?? GOSSIP_PROTOCOL,
    };
    this.#ring = options.ring;
  }

  /** Later hellos tell of this boot. */
  setBoot(boot: number): void {
    this.#self = { ...this.#self, boot };
  }

  setKeyring(ring: Keyring): void {
    this.#ring = ring;
  }

  /** Begins a stream to an instance, or to whoever is at an address. */
  dial(target: InstanceId | undefined): DialledHello {
    const ring = this.#ring;
    const key = ring.keys[0];
    const nonce = this.#random.bytes(NONCE_BYTES);
    const writer = new ByteWriter(HELLO_BYTES_MAX);
    writer.uint8(HELLO_VERSION);
    writer.uint8(DIAL);
    writer.uint8(Number(key !== undefined));
    writer.uint32(ring.labelHash);
    writer.uint32(key?.id ?? 0);
    this.#writeHead(writer, nonce, target ?? ANYBODY);
    const first = writer.finish();
    return {
      first,
      receive: (answer) => {
        const told = readRefusal(answer);
        if (told !== undefined) return told;
        const accept = readMessage(answer, ACCEPT);
        const head = accept === undefined ? undefined : readHead(accept.body);
        if (accept === undefined || head?.other !== this.#self.id) return this.#refuse('malformed');
        const prove = this.#prover(ring, key?.id, [nonce, head.nonce], [first, accept.bytes]);
        if (!isEqualBytes(prove(ACCEPT), accept.proof)) return this.#refuse('proof');
        if (!this.#speaks(head.hello.protocol)) return this.#refuse('protocol', head.hello);
        if (target !== undefined && head.hello.id !== target)
          return this.#refuse('instance', head.hello);
        const last = Uint8Array.of(HELLO_VERSION, CONFIRM, ...prove(CONFIRM));
        return { peer: head.hello, last };
      },
    };
  }

  /** Begins the other half, for a stream that somebody dialled. */
  accept(): AcceptedHello {
    let confirm: ((message: Uint8Array) => { readonly peer: Hello } | RefusedHello) | undefined;
    return {
      receive: (message) => {
        if (confirm !== undefined) return confirm(message);
        const answer = this.#answer(message);
        if ('refused' in answer) return answer;
        ({ confirm } = answer);
        return { reply: answer.reply };
      },
    };
  }

  #answer(first: Uint8Array):
    | RefusedHello
    | {
        readonly reply: Uint8Array;
        readonly confirm: (message: Uint8Array) => { readonly peer: Hello } | RefusedHello;
      } {
    const ring = this.#ring;
    const dial = readDial(first);
    if (dial === undefined) return this.#refuse('malformed');
    const { head } = dial;
    if (dial.hasKey !== ring.keys.length > 0) return this.#refuse('mode');
    if (dial.labelHash !== ring.labelHash) return this.#refuse('label');
    if (dial.hasKey && !ring.keys.some(({ id }) => id === dial.keyId))
      return this.#refuse('key_unknown');
    if (!this.#speaks(head.hello.protocol)) return this.#refuse('protocol', head.hello);
    if (head.other !== ANYBODY && head.other !== this.#self.id) return this.#refuse('instance');
    const nonce = this.#random.bytes(NONCE_BYTES);
    const writer = new ByteWriter(HELLO_BYTES_MAX);
    writer.uint8(HELLO_VERSION);
    writer.uint8(ACCEPT);
    this.#writeHead(writer, nonce, head.hello.id);
    const own = writer.finish();
    const keyId = dial.hasKey ? dial.keyId : undefined;
    const prove = this.#prover(ring, keyId, [head.nonce, nonce], [Uint8Array.from(first), own]);
    writer.bytes(prove(ACCEPT));
    return {
      reply: writer.finish(),
      confirm: (message) => {
        const last = readMessage(message, CONFIRM);
        if (last === undefined || last.body.length > 0) return this.#refuse('malformed');
        if (!isEqualBytes(prove(CONFIRM), last.proof)) return this.#refuse('proof');
        return { peer: head.hello };
      },
    };
  }

  #writeHead(writer: ByteWriter, nonce: Uint8Array, other: InstanceId): void {
    writer.uint8(this.#self.protocol);
    writer.uint32(this.#self.boot);
    writer.bytes(nonce);
    writer.instanceId(this.#self.id);
    writer.instanceId(other);
  }

  /** Proofs of one stream. An unknown key id is the caller's to refuse before. */
  #prover(
    ring: Keyring,
    keyId: number | undefined,
    nonces: readonly [Uint8Array, Uint8Array],
    messages: readonly [Uint8Array, Uint8Array],
  ): (direction: number) => Uint8Array {
    const key = ring.keys.find(({ id }) => id === keyId);
    const secret =
      key === undefined
        ? ring.checksumKey
        : deriveBootKey(this.#ciphers, key, concat(nonces), 'stream');
    return (direction) =>
      this.#ciphers.hmacSha256(
        secret,
        concat([Uint8Array.of(direction), ...messages, ring.labelBytes]),
      );
  }

  /** A cluster is upgraded node by node: each version talks to its neighbours. */
  #speaks(protocol: number): boolean {
    return Math.abs(protocol - this.#self.protocol) <= 1;
  }

  #refuse(refused: HelloRefusal, peer?: Hello): RefusedHello {
    const { id, protocol } = this.#self;
    const why =
      refused === 'protocol'
        ? `it speaks protocol ${peer?.protocol}, this node ${protocol}: upgrade one version at a time`
        : refused === 'instance'
          ? peer === undefined
            ? `this is ${id}, not who was dialled`
            : `it is ${peer.id}, not who was dialled`
          : SENTENCES[refused];
    const reply = Uint8Array.of(HELLO_VERSION, REFUSE, REFUSALS.indexOf(refused), protocol);
    return { refused, why, reply };
  }
}

const SENTENCES: Readonly<Record<HelloRefusal, string>> = {
  malformed: 'its hello is malformed, or of a version that is not compatible',
  mode: 'one side has a cluster key and the other has none',
  label: 'it belongs to a cluster with another label',
  key_unknown: 'its cluster key is not one of ours',
  proof: 'it did not prove the cluster key',
  protocol: 'the protocols are more than one version apart',
  instance: 'another instance answers at this address',
};

/** What the acceptor said instead of an answer. Proves nothing, so it only explains the failure. */
function readRefusal(message: Uint8Array): RefusedHello | undefined {
  if (message.length !== 4 || message[0] !== HELLO_VERSION || message[1] !== REFUSE)
    return undefined;
  const refused = REFUSALS[message[2]!] ?? 'malformed';
  const more = refused === 'protocol' ? `; it speaks protocol ${message[3]!}` : '';
  return { refused, why: `the peer refused: ${SENTENCES[refused]}${more}`, reply: undefined };
}

function readDial(message: Uint8Array) {
  if (message.length > HELLO_BYTES_MAX) return undefined;
  const reader = new ByteReader(message);
  const isDial = reader.uint8() === HELLO_VERSION && reader.uint8() === DIAL;
  const mode = reader.uint8();
  const dial = { hasKey: mode === 1, labelHash: reader.uint32(), keyId: reader.uint32() };
  const head = readHead(message.subarray(Math.min(reader.offset, message.length)));
  return isDial && mode <= 1 && head !== undefined ? { ...dial, head } : undefined;
}

/** Splits an ACCEPT or CONFIRM: what its proof covers, the head inside, and the proof. */
function readMessage(message: Uint8Array, step: number) {
  if (message.length < 2 + PROOF_BYTES || message.length > HELLO_BYTES_MAX) return undefined;
  if (message[0] !== HELLO_VERSION || message[1] !== step) return undefined;
  const bytes = message.subarray(0, message.length - PROOF_BYTES);
  return { bytes, body: bytes.subarray(2), proof: message.subarray(message.length - PROOF_BYTES) };
}

function readHead(bytes: Uint8Array): Head | undefined {
  const reader = new ByteReader(bytes);
  const protocol = reader.uint8();
  const boot = reader.uint32();
  const nonce = reader.bytes(NONCE_BYTES);
  const id = reader.instanceId();
  const other = reader.instanceIdOr(ANYBODY);
  return reader.isWhole && protocol > 0
    ? { hello: { id, boot, protocol }, nonce, other }
    : undefined;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
