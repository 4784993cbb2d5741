/**
 * Real UDP. Addresses are IP literals, 'ip:port' or '[v6]:port': gossip never reaches the resolver.
 * Sending never throws; what cannot be sent is dropped and counted.
 */
import { type Socket, createSocket } from 'node:dgram';
import { isIP } from 'node:net';
import { StarlingError } from '../../model/errors.ts';
import type { DatagramSocket, Datagrams } from '../platform.ts';

export interface NodeDatagrams extends Datagrams {
  /** Datagrams that could not be sent. */
  readonly sendFailures: number;
}

/** Datagrams that the kernel has not taken yet, at most. */
const SEND_QUEUE_MAX = 1024;
/** Room for a burst that arrives while the loop is busy, as far as the kernel grants it. */
const RECEIVE_BUFFER_BYTES = 2 * 1024 * 1024;

interface Target {
  readonly host: string;
  readonly port: number;
  readonly family: 4 | 6;
}

export function createNodeDatagrams(): NodeDatagrams {
  let sendFailures = 0;
  return {
    get sendFailures() {
      return sendFailures;
    },
    bind: async (address, onDatagram) => {
      const target = splitAddress(address);
      if (target === undefined) throw refused(address, 'must be an IP address and a port');
      const socket = await bindSocket(address, target);
      socket.on('message', (bytes, from) => onDatagram(bytes, printAddress(from)));
      return wrap(socket, target, () => sendFailures++);
    },
  };
}

function refused(address: string, why: string, cause?: unknown): StarlingError {
  return new StarlingError('config.invalid', { where: `--gossip.listen ${address}`, why }, cause);
}

function bindSocket(address: string, target: Target): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({
      type: target.family === 6 ? 'udp6' : 'udp4',
      ipv6Only: target.family === 6, // '[::]' and '0.0.0.0' are two sockets, as for any other address
      lookup: (host, _options, callback) => callback(null, host, target.family), // never DNS
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      socket.close();
      const why = error.code === 'EADDRINUSE' ? 'the port is already in use' : error.message;
      reject(refused(address, why, error));
    });
    socket.bind(target.port, target.host, () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
  });
}

function wrap(socket: Socket, bound: Target, onFailure: () => void): DatagramSocket {
  socket.on('error', onFailure);
  try {
    socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
  } catch {
    // Some systems refuse instead of granting less; their default serves too.
  }
  const { port } = socket.address();
  let closed: Promise<void> | undefined;
  return {
    address: printAddress({ address: bound.host, port, family: `IPv${bound.family}` }),
    send: (address, bytes) => {
      const to = splitAddress(address);
      const isUsable = to !== undefined && to.port !== 0 && to.family === bound.family;
      if (!isUsable || closed !== undefined || socket.getSendQueueCount() >= SEND_QUEUE_MAX) {
        onFailure();
        return;
      }
      // Node sends on a later tick: the caller may reuse its bytes before.
      socket.send(Uint8Array.from(bytes), to.port, to.host, (error) => {
        if (error !== null) onFailure();
      });
    },
    close: () => {
      closed ??= new Promise((resolve) => socket.close(() => resolve()));
      return closed;
    },
  };
}

function printAddress(from: {
  readonly address: string;
  readonly port: number;
  readonly family: string;
}): string {
  return from.family === 'IPv6' ? `[${from.address}]:${from.port}` : `${from.address}:${from.port}`;
}

const ADDRESS = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/;

/** Undefined unless it is an IP literal and a port; IPv6 stands in brackets. */
function splitAddress(address: string): Target | undefined {
  const [, six, four, digits] = ADDRESS.exec(address) ?? [];
  const host = six ?? four ?? '';
  const port = Number(digits);
  const family = isIP(host);
  if ((family !== 4 && family !== 6) || (family === 6) !== (six !== undefined)) return undefined;
  return port > 65_535 ? undefined : { host, port, family };
}
