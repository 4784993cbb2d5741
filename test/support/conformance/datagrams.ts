/** What every `Datagrams` does between two sockets when the network is calm. */
import type { Test } from 'tap';
import type { Datagrams } from '../../../platform/platform.ts';

/** The most that fits into one datagram over IPv4. */
const DATAGRAM_BYTES_MAX = 65_507;

interface Received {
  readonly text: string;
  readonly from: string;
}

/** `ips`: where each of the two may bind. */
export async function checkDatagrams(
  t: Test,
  sides: readonly [Datagrams, Datagrams],
  ips: readonly [string, string],
): Promise<void> {
  const inbox: Received[] = [];
  let onReceived = (): void => undefined;
  const received = async (count: number): Promise<readonly Received[]> => {
    while (inbox.length < count) await new Promise<void>((resolve) => (onReceived = resolve));
    return inbox.splice(0);
  };
  const left = await sides[0].bind(`${ips[0]}:0`, () => undefined);
  const right = await sides[1].bind(`${ips[1]}:0`, (bytes, from) => {
    inbox.push({
      text: bytes.length > 99 ? String(bytes.length) : String(Buffer.from(bytes)),
      from,
    });
    onReceived();
  });
  t.match(left.address, /^[\d.]+:[1-9]\d*$/, 'the bound port is told');
  t.not(left.address, right.address);
  await t.rejects(
    sides[0].bind(left.address, () => undefined),
    'a port has one holder',
  );

  const bytes = Buffer.from('hello');
  left.send(right.address, bytes);
  bytes.fill(0);
  t.strictSame(await received(1), [{ text: 'hello', from: left.address }], 'bytes are copied');
  left.send(right.address, new Uint8Array(0));
  t.strictSame(await received(1), [{ text: '', from: left.address }], 'an empty one arrives');
  left.send(right.address, new Uint8Array(DATAGRAM_BYTES_MAX + 1));
  left.send(right.address, new Uint8Array(DATAGRAM_BYTES_MAX));
  t.strictSame(
    (await received(1)).map(({ text }) => text),
    [String(DATAGRAM_BYTES_MAX)],
    'the largest arrives, a larger one is dropped',
  );
  const unusable = ['', ':', '1', 'localhost:80', ips[1], `${ips[1]}:0`, `${ips[1]}:65536`];
  for (const address of [...unusable, '::1:80', '[::1]:80', `${ips[1]}:1e3`, `${ips[1]}: 80`]) {
    t.doesNotThrow(() => left.send(address, bytes), `send to ${JSON.stringify(address)}`);
  }
  for (const address of ['', '1', 'localhost:0', `${ips[0]}:65536`]) {
    await t.rejects(
      sides[0].bind(address, () => undefined),
      `bind ${JSON.stringify(address)}`,
    );
  }

  await left.close();
  await left.close();
  left.send(right.address, Buffer.from('from the dead'));
  const next = await sides[0].bind(left.address, () => undefined);
  next.send(right.address, Buffer.from('next'));
  t.strictSame(await received(1), [{ text: 'next', from: left.address }], 'closed is silent');
  await Promise.all([next.close(), right.close()]);
}
