/**
 * Real UDP. Addresses are IP literals: gossip never reaches the resolver. Sending never throws; what
 * cannot be sent is counted.
 */
import { createSocket } from 'node:dgram';
import { isIP } from 'node:net';
import { StarlingError } from '../../model/errors.ts';
import type { DatagramSocket, Datagrams } from '../platform.ts';

export interface NodeDatagrams extends Datagrams {
  /** Datagrams that could not be sent. */
  readonly sendFailures: number;
}

export function createNodeDatagrams(): NodeDatagrams {
  let sendFailures = 0;
  return {
    get sendFailures() {
      return sendFailures;
    },
    bind: (address, onDatagram) =>
      new Promise<DatagramSocket>((resolve, reject) => {
        const target = splitAddress(address);
        if (target === undefined) {
          const where = `--gossip.listen ${address}`;
          reject(
            new StarlingError('config.invalid', { where, why: 'must be an IP address and a port' }),
          );
          return;
        }
        const socket = createSocket(target.family === 6 ? 'udp6' : 'udp4');
        socket.once('error', (error: NodeJS.ErrnoException) => {
          const why = error.code === 'EADDRINUSE' ? 'the port is already in use' : error.message;
          reject(
            new StarlingError(
              'config.invalid',
              { where: `--gossip.listen ${address}`, why },
              error,
            ),
          );
        });
        socket.on('message', (bytes, from) => {
          onDatagram(
            bytes,
            from.family === 'IPv6'
              ? `[${from.address}]:${from.port}`
              : `${from.address}:${from.port}`,
          );
        });
        socket.bind(target.port, target.host, () => {
          socket.removeAllListeners('error');
          socket.on('error', () => sendFailures++);
          let isOpen = true;
          resolve({
            address: `${address.slice(0, address.lastIndexOf(':'))}:${socket.address().port}`,
            send: (to, bytes) => {
              const peer = splitAddress(to);
              if (peer === undefined || peer.port === 0 || !isOpen) {
                sendFailures++;
                return;
              }
              socket.send(bytes, peer.port, peer.host, (error) => {
                if (error !== null) sendFailures++;
              });
            },
            close: () =>
              new Promise((closed) => {
                if (!isOpen) closed();
                else socket.close(() => closed());
                isOpen = false;
              }),
          });
        });
      }),
  };
}

function splitAddress(
  address: string,
): { readonly host: string; readonly port: number; readonly family: number } | undefined {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, at).replace(/^\[|\]$/g, '');
  const port = Number(address.slice(at + 1));
  const family = isIP(host);
  return at < 0 || family === 0 || !Number.isInteger(port) || port < 0 || port > 65_535
    ? undefined
    : { host, port, family };
}
