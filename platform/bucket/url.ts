/**
 * The URL that chooses a bucket:
 *
 *   file:///absolute/directory
 *   s3://bucket/prefix?endpoint=https://host:9000&region=eu-west-1&path_style=true
 *
 * Pure. Credentials never stand in a URL: they come from the environment, as every AWS tool takes them.
 */

export type BucketLocation =
  | { readonly kind: 'file'; readonly directory: string }
  | {
      readonly kind: 's3';
      readonly bucket: string;
      /** '' or a path that ends in '/'. */
      readonly prefix: string;
      /** Undefined: Amazon's own. */
      readonly endpoint: string | undefined;
      readonly region: string;
      /** The bucket in the path (`host/bucket/key`) and not in the host name. */
      readonly isPathStyle: boolean;
    };

const DEFAULT_REGION = 'us-east-1';
const PARAMETERS = ['endpoint', 'path_style', 'region'];

/** Reads a bucket URL: the location, or a sentence that says what is wrong. */
export function parseBucketUrl(text: string): BucketLocation | string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return `'${shorten(text)}' is not a URL: write file:///directory or s3://bucket/prefix`;
  }
  if (url.username !== '' || url.password !== '') {
    return 'credentials do not belong into the URL: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY';
  }
  if (url.hash !== '') return "the URL has a '#' part, which means nothing here";
  if (url.protocol === 'file:') return parseFileUrl(url);
  if (url.protocol === 's3:') return parseS3Url(url);
  return `'${url.protocol}//' is not a kind of bucket: write file:///directory or s3://bucket/prefix`;
}

/** The URL of a location, to name it in errors and logs. */
export function bucketName(location: BucketLocation): string {
  if (location.kind === 'file') return `file://${location.directory}`;
  return `s3://${location.bucket}/${location.prefix}`;
}

function parseFileUrl(url: URL): BucketLocation | string {
  if (url.host !== '') {
    return `'${url.href}' names the host '${url.host}': write three slashes, file:///directory`;
  }
  if (url.search !== '') return 'a file URL takes no parameters';
  const path = decode(url.pathname);
  if (path === undefined) return `'${url.href}' has a % that is not followed by two hex digits`;
  const directory = path.replace(/\/+$/, '');
  if (directory === '') return 'the root directory cannot be the bucket: name a directory';
  if (/[\u0000-\u001f]/.test(directory)) return 'the directory has a control character';
  return { kind: 'file', directory };
}

function parseS3Url(url: URL): BucketLocation | string {
  const bucket = url.host;
  if (!/^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/.test(bucket)) {
    return `'${bucket}' cannot be the name of an S3 bucket: 3 to 63 small letters, digits, '.', '_' or '-'`;
  }
  const path = decode(url.pathname);
  if (path === undefined) return `'${url.href}' has a % that is not followed by two hex digits`;
  const parts = path.split('/').filter((part) => part !== '');
  if (parts.some((part) => !/^[A-Za-z0-9!\-_.*'()=@+]+$/.test(part))) {
    return `the prefix '${path}' may have letters, digits and !-_.*'()=@+ only`;
  }
  const { searchParams } = url;
  for (const name of searchParams.keys()) {
    if (!PARAMETERS.includes(name)) {
      return `'${name}' is not a parameter of s3 URLs: there are ${PARAMETERS.join(', ')}`;
    }
    if (searchParams.getAll(name).length > 1) return `the parameter '${name}' is there twice`;
  }
  const endpoint = parseEndpoint(searchParams.get('endpoint'));
  if (typeof endpoint === 'object') return endpoint.problem;
  const region = searchParams.get('region') ?? DEFAULT_REGION;
  if (!/^[a-z0-9-]{1,40}$/.test(region)) return `'${region}' is not a region`;
  const style = searchParams.get('path_style') ?? (endpoint === undefined ? 'false' : 'true');
  if (style !== 'true' && style !== 'false') return 'path_style must be true or false';
  return {
    kind: 's3',
    bucket,
    prefix: parts.map((part) => `${part}/`).join(''),
    endpoint,
    region,
    isPathStyle: style === 'true',
  };
}

function parseEndpoint(text: string | null): string | undefined | { readonly problem: string } {
  if (text === null) return undefined;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return { problem: `the endpoint '${shorten(text)}' is not a URL such as https://host:9000` };
  }
  const isPlain =
    url.pathname === '/' && url.search === '' && url.username === '' && url.hash === '';
  if (!/^https?:$/.test(url.protocol) || !isPlain) {
    return {
      problem: `the endpoint '${shorten(text)}' must be http(s)://host:port and nothing else`,
    };
  }
  return url.origin;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function shorten(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
