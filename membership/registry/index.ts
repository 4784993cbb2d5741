/** The registry's public face: records, merging, codec, views, and the file that keeps it. */
export * from './codec.ts';
export * from './merge.ts';
export * from './records.ts';
export * from './registry-file.ts';
export * from './views.ts';
