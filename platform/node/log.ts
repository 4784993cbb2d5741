/** Log lines as JSON on standard error, by pino. Values under secret-looking keys are masked. */
import { type Logger, destination, pino } from 'pino';
import type { Log } from '../platform.ts';

const SECRET_KEYS = ['key', 'secret', 'password', 'token', 'authorization'];

export function createNodeLog(level: 'debug' | 'error' | 'info' | 'warn'): Log {
  const logger = pino(
    { level, redact: { paths: SECRET_KEYS, censor: '<redacted>' }, base: null },
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
