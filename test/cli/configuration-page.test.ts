// Goal: docs/configuration.md names every setting as the program takes it. Method: the page is made from
// the settings table and its schemas; UPDATE_GOLDEN=1 writes it, else it is compared.
import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { z } from 'zod';
import {
  type Setting,
  addressSchema,
  blockRangesSchema,
  bucketSchema,
  durationSchema,
  flagName,
  optionalDurationSchema,
  outOfOrderSchema,
} from '../../cli/settings.ts';
import { retentionFiltersSchema } from '../../cli/retention-filters.ts';
import { settings, variableName } from '../../cli/settings.ts';
import { checkout } from '../support/checkout.ts';

const pageFile = checkout('docs/configuration.md');

const HEAD = `# Configuration

Every setting is a key of the YAML file (\`--config.file\`), an environment variable and a flag of
\`starling serve\`. Later sources win: default, file, environment, flag. \`--print-config\` prints what is
in force. What is wrong is named where it stands, and the exit code is 2. In the file a dot is a level:
\`http: {listen: …}\`. Lists are repeated flags, or separated by commas in a variable.

| key of the file | flag | variable | default | accepts | meaning |
| --- | --- | --- | --- | --- | --- |
`;

interface JsonSchema {
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly pattern?: string;
}

/** What a setting accepts, told by its schema. */
function accepts(setting: Setting): string {
  if (setting.schema === durationSchema) return 'a duration: `500ms`, `15s`, `1h30m`; to 10 years';
  if (setting.schema === outOfOrderSchema) return 'a duration to 1h, or 0';
  if (setting.schema === optionalDurationSchema) return 'a duration, or 0';
  if (setting.schema === retentionFiltersSchema) return '`SELECTOR:PERIOD`, many';
  if (setting.schema === blockRangesSchema) return 'durations, each a multiple of the one before';
  if (setting.schema === addressSchema) return 'host:port';
  if (setting.schema === bucketSchema) return 'a bucket URL';
  if (setting.isList === true) return 'host:port, many';
  if (setting.isSwitch === true) return '`true` or `false`';
  const schema = z.toJSONSchema(setting.schema, { io: 'output', unrepresentable: 'any' });
  const { enum: words, maximum, minimum, pattern } = schema as JsonSchema; // draft 2020-12
  if (words !== undefined) return words.map((word) => `\`${String(word)}\``).join(', ');
  if (minimum !== undefined && maximum !== undefined)
    return maximum === Number.MAX_SAFE_INTEGER ? `${minimum} or more` : `${minimum} to ${maximum}`;
  return pattern === undefined ? 'text' : `\`${pattern}\``;
}

function page(): string {
  const rows = settings.map((setting) => {
    const names = [setting.path.join('.'), `--${flagName(setting)}`, variableName(setting)];
    const cells = [...names.map((name) => `\`${name}\``), setting.defaultText];
    return `| ${[...cells, accepts(setting), setting.help].join(' | ')} |\n`;
  });
  return HEAD + rows.join('');
}

t.test('docs/configuration.md is what the settings table says', async (t) => {
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(pageFile, page());
  t.equal(readFileSync(pageFile, 'utf8'), page());
  for (const setting of settings) {
    t.not(setting.help, '', setting.path.join('.'));
    t.not(setting.defaultText, '', setting.path.join('.'));
  }
});
