/** This package's, as in package.json: a constant, since a bundled app has no such file to read. */
export const VERSION = '0.1.0'
