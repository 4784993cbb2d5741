/** What of WebAssembly is used: the types of Node have none. */
declare namespace WebAssembly {
  type Module = object;
  const Module: new (bytes: Uint8Array) => Module;
  class Instance {
    constructor(
      module: Module,
      imports?: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
    );
    readonly exports: Readonly<Record<string, unknown>>;
  }
  /** In pages of 64 KiB. */
  class Memory {
    constructor(size: { readonly initial: number; readonly maximum: number });
    readonly buffer: ArrayBuffer;
    /** Adds pages of 64 KiB; the buffer before is detached. Throws RangeError. */
    grow(pages: number): number;
  }
  interface Global {
    value: number;
  }
}
