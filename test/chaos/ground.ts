/**
 * What the processes of the chaos rig stand on: an address each, a command in front of theirs, and links
 * that can be broken. `loopback` breaks none; `namespaces.ts` gives each node a network of its own.
 */
import { freePorts } from '../support/cluster.ts';

/** What a machine can do to links, beyond cutting them. */
export type LinkPower = 'cut' | 'delay' | 'loss' | 'rate';

export interface NodeAddresses {
  readonly http: string;
  readonly grpc: string;
  readonly gossip: string;
}

/** What a disturbed link does to what leaves a node. */
export interface LinkTrouble {
  readonly lossPercent?: number;
  readonly delayMs?: number;
  readonly jitterMs?: number;
  readonly duplicatePercent?: number;
  readonly reorderPercent?: number;
  readonly kbitPerSecond?: number;
}

export interface Ground {
  readonly name: 'loopback' | 'netns';
  readonly powers: ReadonlySet<LinkPower>;
  readonly addresses: readonly NodeAddresses[];
  /** What stands in front of the command of a node. */
  prefixOf(node: number): readonly string[];
  /** What `from` sends to `to` is lost from now on, and nobody is told. */
  cut(from: number, to: number): void;
  /** Nothing reaches or leaves a node, clients included. */
  unplug(node: number): void;
  disturb(node: number, trouble: LinkTrouble): void;
  /** All links are whole. */
  heal(): void;
  /** At once, for it is the last thing that a process does. */
  remove(): void;
}

const nothing = (): void => undefined;

/** Ports of 127.0.0.1: processes can be harmed, links cannot. */
export async function createLoopback(count: number): Promise<Ground> {
  const ports = await freePorts(count * 3);
  const at = (i: number): string => `127.0.0.1:${ports[i]!}`;
  return {
    name: 'loopback',
    powers: new Set(),
    addresses: Array.from({ length: count }, (_, i) => ({
      http: at(i * 3),
      grpc: at(i * 3 + 1),
      gossip: at(i * 3 + 2),
    })),
    prefixOf: () => [],
    cut: nothing,
    unplug: nothing,
    disturb: nothing,
    heal: nothing,
    remove: nothing,
  };
}
