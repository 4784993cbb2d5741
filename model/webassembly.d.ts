/** What of WebAssembly is used: the types of Node have none. */
declare namespace WebAssembly {
  type Module = object;
  const Module: new (bytes: Uint8Array) => Module;
  class Instance {
    constructor(module: Module);
    readonly exports: Readonly<Record<string, unknown>>;
  }
  interface Memory {
    readonly buffer: ArrayBuffer;
    /** Adds pages of 64 KiB; the buffer before is detached. Throws RangeError. */
    grow(pages: number): number;
  }
  interface Global {
    readonly value: number;
  }
}
