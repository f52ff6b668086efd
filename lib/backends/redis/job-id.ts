// Ids as BullMQ uses them: with a ':' they would be parts of other keys, as a bare word ('wait', 'meta') the key of a queue's
// own structure, and as a number an id that BullMQ counts up itself.
const PLAIN = /^(?=.*\d)[\w.-]+$/
const ESCAPED = '~'

/** The id under which a job is stored; a UUID and most other ids are themselves. */
export function storedId (id: string): string {
  if (PLAIN.test(id) && Number.isNaN(Number(id))) return id
  return ESCAPED + id.replace(/[%:{}]/g, (character) => `%${character.charCodeAt(0).toString(16)}`)
}

export function jobId (stored: string): string {
  return stored.startsWith(ESCAPED) ? stored.slice(1).replace(/%([0-9a-f]{2})/g, (_, code: string) => String.fromCharCode(parseInt(code, 16))) : stored
}
