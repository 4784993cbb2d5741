/**
 * The npm package's `Swim` over our parts. The package gives the shell (bootstrap, join, leave,
 * members, events); its parts are replaced before `bootstrap`, as its late binding through
 * `this.swim.x` allows.
 *
 * The object is made from the prototype, not by `new`: the constructor's only effects are to build
 * the five parts that would be thrown away, one of which opens a UDP handle at once, and a
 * simulated node must not touch a socket. All fields the constructor would set are set here; a test
 * compares them with a constructed one.
 */
import Swim from 'swim';
import type { SwimHost } from './host.ts';
import {
  ByteDisseminator,
  HardCodec,
  HardNet,
  LifeguardDetector,
  RingMembership,
} from './parts.ts';

/** A stopped `Swim` that works through `host`. */
export function createSwimShell(host: SwimHost): Swim {
  // Object.create is typed as any: the prototype makes it a Swim.
  const swim = Object.create(Swim.prototype) as Swim;
  const codec = new HardCodec();
  swim.opts = { local: { host: host.address() }, udp: { type: 'udp4' } };
  swim.codec = codec;
  swim.disseminator = new ByteDisseminator(host);
  swim.failureDetector = new LifeguardDetector(host);
  swim.membership = new RingMembership(host);
  swim.net = new HardNet(host);
  swim.state = Swim.State.Stopped;
  swim.joinTimeout = Swim.Default.joinTimeout;
  swim.joinCheckInterval = Swim.Default.joinCheckInterval;
  swim.changeListener = (...values) => swim.emit('change', ...values);
  swim.updateListener = (...values) => swim.emit('update', ...values);
  swim.debug = () => undefined;
  return swim;
}
