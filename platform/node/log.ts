/**
 * Log lines as JSON on standard error, by pino. Values under secret-looking keys are masked, two
 * levels deep. Lines are written by the thread pool, so a slow terminal does not stop the loop; what
 * waits is flushed when the process exits, and bounded: beyond it lines are dropped and counted.
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
const WAITING_BYTES_MAX = 4 * 1024 * 1024;

/** `file`: a descriptor or a path. */
export function createNodeLog(level: LogLevel, file: number | string = 2): Log {
  const lines = destination({ dest: file, sync: false, maxLength: WAITING_BYTES_MAX });
  const paths = SECRET_KEYS.flatMap((key) => [key, `*.${key}`]);
  const logger = pino(
    {
      level,
      base: null,
      redact: { paths, censor: '<redacted>' },
      serializers: { cause: stdSerializers.err, error: stdSerializers.err },
    },
    lines,
  );
  let droppedCount = 0;
  lines.on('drop', () => droppedCount++);
  lines.on('drain', () => {
    if (droppedCount === 0) return;
    const count = droppedCount;
    droppedCount = 0;
    logger.warn({ count }, 'log lines were dropped: the reader is too slow');
  });
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
