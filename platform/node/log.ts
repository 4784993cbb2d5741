/**
 * Log lines as JSON on standard error, by pino. Values under secret-looking keys are masked, two
 * levels deep. A line is written before the call returns: the last words of a process are the ones
 * that matter most. So nothing on a hot path logs.
 */
import { type Logger, destination, pino, stdSerializers } from 'pino';
import type { Log } from '../platform.ts';

export type LogLevel = 'debug' | 'error' | 'info' | 'warn';

const SECRET_KEYS = [
  'authorization',
  'clusterKey',
  'cookie',
  'key',
  'password',
  'secret',
  'secrets',
  'secretAccessKey',
  'sessionToken',
  'token',
];

export function createNodeLog(level: LogLevel): Log {
  const paths = SECRET_KEYS.flatMap((key) => [key, `*.${key}`]);
  const logger = pino(
    {
      level,
      base: null,
      redact: { paths, censor: '<redacted>' },
      serializers: { cause: stdSerializers.err, error: stdSerializers.err },
    },
    destination({ fd: 2, sync: true }),
  );
  return wrap(logger);
}

function wrap(logger: Logger): Log {
  return {
    debug: (event, facts) => logger.debug(facts ?? {}, event),
    info: (event, facts) => logger.info(facts ?? {}, event),
    warn: (event, facts) => logger.warn(facts ?? {}, event),
    error: (event, facts) => logger.error(facts ?? {}, event),
    child: (facts) => wrap(logger.child(facts)),
  };
}
