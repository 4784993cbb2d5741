/** The ring's public face: replica sets for writes, completeness of reads. */
export * from './read-plan.ts';
export * from './ring.ts';
export * from './tokens.ts';
