/** JSON that others wrote, checked as it is read. Unknown keys are ignored. */
import { type BlockId, parseBlockId } from '../block/ulid.ts';

/** Why a document cannot be used; whoever reads it says of which object. */
export class BadDocument extends Error {
  override readonly name = 'BadDocument';
}

/** The keys of one JSON object. All methods throw `BadDocument`. */
export class JsonObject {
  readonly #where: string;
  readonly #values: ReadonlyMap<string, unknown>;

  constructor(value: unknown, where: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new BadDocument(`${where} is not an object`);
    }
    this.#where = where;
    this.#values = new Map(Object.entries(value));
  }

  static parse(text: string): JsonObject {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (thrown) {
      throw new BadDocument(`not JSON: ${thrown instanceof Error ? thrown.message : ''}`);
    }
    return new JsonObject(value, 'the document');
  }

  integer(key: string, fallback?: number): number {
    const value = this.#values.get(key) ?? fallback;
    if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
    throw new BadDocument(`${key} in ${this.#where} is not a whole number`);
  }

  text(key: string, fallback?: string): string {
    const value = this.#values.get(key) ?? fallback;
    if (typeof value === 'string') return value;
    throw new BadDocument(`${key} in ${this.#where} is not a string`);
  }

  blockId(key: string): BlockId {
    const id = parseBlockId(this.text(key, ''));
    if (id === undefined) throw new BadDocument(`${key} in ${this.#where} is not a ULID`);
    return id;
  }

  /** Undefined when it is not there. */
  object(key: string): JsonObject | undefined {
    const value = this.#values.get(key);
    return value === undefined || value === null ? undefined : new JsonObject(value, key);
  }

  /** Empty when it is not there. */
  list(key: string): readonly JsonObject[] {
    const value = this.#values.get(key) ?? [];
    if (!Array.isArray(value)) throw new BadDocument(`${key} in ${this.#where} is not a list`);
    return value.map((item) => new JsonObject(item, key));
  }

  /** Whether a key is there and true. */
  flag(key: string): boolean {
    return this.#values.get(key) === true;
  }

  /** The strings of a list, which may be missing. */
  strings(key: string): readonly string[] {
    const value = this.#values.get(key) ?? [];
    if (!Array.isArray(value)) throw new BadDocument(`${key} in ${this.#where} is not a list`);
    return value.filter((item) => typeof item === 'string');
  }

  /** The string values of an object of strings. */
  texts(): ReadonlyMap<string, string> {
    const texts = new Map<string, string>();
    for (const [key, value] of this.#values) if (typeof value === 'string') texts.set(key, value);
    return texts;
  }
}
