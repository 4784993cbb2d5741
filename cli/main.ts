#!/usr/bin/env -S MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=131072 node --enable-source-maps --no-parallel-scavenge --max-semi-space-size=4 --heap-growing-percent=100 --initial-old-space-size=40 --interrupt-budget=200000
/**
 * The `starling` command. Exit codes: 0 ok, 1 failed, 2 wrong usage.
 *
 * The first line runs Node as a node needs it: its heap is small and most of its memory is buffers.
 *
 *   --no-parallel-scavenge    The young generation is small: helper threads cost more than they help. The old one is
 *                             marked by them, which keeps the loop free: with --single-threaded-gc its longest turns
 *                             under load took 10 to 27 ms, now 5 to 13, and CPU seconds are the same.
 *   --max-semi-space-size=4   Buffers that live for one request are freed when the young generation is
 *                             collected. Of the 16 MiB that it is otherwise, little but buffers is garbage:
 *                             it fills so slowly that dead buffers make V8 mark the whole heap instead.
 *
 *   --heap-growing-percent=100  The old generation may double between two collections, and is collected at 40 MB the first
 *   --initial-old-space-size  time: a tenth of what 100,000 series take, because V8 lets it and the buffers that it
 *                             holds more than double under writes. Under queries it lets them grow by less than half;
 *                             with 50 here the six queries of the benchmark took 5 to 15 % longer on three nodes, and
 *                             3 % less memory.
 *
 *   --interrupt-budget=200000  What runs three times as long as V8 waits for by itself is compiled with optimisations: the
 *                             loops are, and fewer functions of libraries, whose compiler works beside the first queries
 *                             of a process. With eight times as long, turns of 16 and 25 ms were seen in which a loop ran
 *                             that was not compiled yet.
 *
 *   MALLOC_…                  What glibc's allocator keeps of buffers that were given back: a twelfth of
 *                             what 100,000 series take.
 *
 * Who starts this file in another way should do the same.
 */
import { readFileSync } from 'node:fs';
import { type Command, CommanderError } from 'commander';
import { createProgram } from './command-line.ts';
import { CommandExit } from './command-exit.ts';
import type { QueryWorld } from './query/command.ts';
import { EXIT_FAILED, EXIT_USAGE, serve } from './serve.ts';

function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { readonly version: string }).version;
}

/** Commands throw instead of ending the process, so that the exit code is ours. */
function overrideExits(command: Command): void {
  command.exitOverride();
  for (const one of command.commands) overrideExits(one);
}

const version = readVersion();
const query: QueryWorld = {
  fetch,
  clock: { nowMs: Date.now },
  parseDate: Date.parse,
  environment: process.env,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
};
const program = createProgram(version, {
  query,
  tools: query,
  serve: (given) => serve(given, version),
});
overrideExits(program);
try {
  await program.parseAsync(process.argv);
} catch (error) {
  if (error instanceof CommandExit) process.exit(error.exitCode);
  if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE);
  process.stderr.write(`starling: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(EXIT_FAILED);
}
