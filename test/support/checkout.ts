/** Files of the checkout that are not code; tests run compiled, in `dist/test/`. */
const root = new URL('../../../', import.meta.url);

/** The URL of a file or, with a closing slash, of a directory: `test/golden/errors.txt`. */
export const checkout = (path: string): URL => new URL(path, root);
