/** Names of schemas and tables: short enough for the names of their indexes, and nothing to escape. */
export const identifier = { type: 'string', pattern: '^[A-Za-z_][A-Za-z0-9_]{0,47}$' }

/** Quoted, for SQL: its case stays, and it may be a word that SQL has a use for. */
export function quote (name: string): string {
  return `"${name}"`
}
