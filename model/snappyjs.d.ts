/** The package ships no types. */
declare module 'snappyjs' {
  const snappyjs: {
    compress(bytes: Uint8Array): Uint8Array;
    uncompress(bytes: Uint8Array, lengthMax?: number): Uint8Array;
  };
  export default snappyjs;
}
