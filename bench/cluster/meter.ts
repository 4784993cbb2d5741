/**
 * What a process cost, read from /proc: CPU seconds, resident memory, disk bytes. Linux only. What its loop
 * did it tells itself.
 */
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const TICKS_PER_SECOND = 100;

/** utime + stime of a process, in seconds. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Resident and peak resident memory in MiB. */
export function memoryMib(pid: number): { readonly resident: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kib = (name: string): number =>
    Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0);
  return { resident: kib('VmRSS') / 1024, peak: kib('VmHWM') / 1024 };
}

/** Bytes of all files below a directory, in MiB. */
export function diskMib(directory: string): number {
  let bytes = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    try {
      bytes += entry.isDirectory() ? diskMib(path) * 1024 * 1024 : statSync(path).size;
    } catch {
      bytes += 0; // removed while we looked
    }
  }
  return bytes / (1024 * 1024);
}

/** The load average of the last minute: figures taken beside other work are worth less. */
export function loadAverage(): number {
  return Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]);
}

export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

/** Own CPU of a slice of the loop, in milliseconds. */
export interface SliceFigures {
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Since this was asked last: the worst of the nodes. NaN when there are none. */
export async function readSlices(metricsUrls: readonly string[]): Promise<SliceFigures> {
  const pages = await Promise.all(metricsUrls.map(async (url) => (await fetch(url)).text()));
  const worst = (name: string): number =>
    Math.max(
      ...pages.map((page) => {
        const value = new RegExp(`^starling_loop_slice_cpu_${name}_seconds (\\S+)$`, 'm').exec(
          page,
        );
        return Number(value?.[1] ?? Number.NaN) * 1000;
      }),
    );
  return pages.length === 0
    ? { p99Ms: Number.NaN, maxMs: Number.NaN }
    : { p99Ms: worst('p99'), maxMs: worst('max') };
}
