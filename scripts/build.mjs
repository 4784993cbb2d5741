// npm run build [-- --types]: compiles the checkout to dist/; with --types its types are checked as well.
import { build } from './lib.mjs';

build({ types: process.argv.includes('--types') });
