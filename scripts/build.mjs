// npm run build: compiles the checkout to dist/.
import { build } from './lib.mjs';

build();
