/**
 * Loaded before tap in every process of tests. tap watches each promise by async hooks, to tell which test an
 * error belongs to that nobody catches. Here such an error ends the process, and so fails the run with its
 * stack: without hooks, tests that live on promises take half to two thirds of the time.
 */
import asyncHooks, { type AsyncHook } from 'node:async_hooks';
import { syncBuiltinESMExports } from 'node:module';

const inert: AsyncHook = { enable: () => inert, disable: () => inert };
asyncHooks.createHook = () => inert;
syncBuiltinESMExports();
