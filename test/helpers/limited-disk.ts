import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { runChild } from './child.ts'

const run = promisify(execFile)

/** What ends first: the disk's room, or the size that a file may have. */
export type Limit = 'disk' | 'file size'

// Nobody else sees the file system that the child mounts, and it is gone with the child.
const OWN_MOUNTS = ['unshare', '--user', '--map-root-user', '--mount']

const prepare: Record<Limit, string> = {
  disk: `
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', folder])
    const filler = folder + '/filler'
    const fill = () => { try { for (;;) fs.appendFileSync(filler, Buffer.alloc(4096)) } catch {} }
    const free = () => fs.rmSync(filler)`,
  // The signal would kill it.
  'file size': `
    process.on('SIGXFSZ', () => {})
    const limit = (bytes) => execFileSync('prlimit', ['--pid', String(process.pid), '--fsize=' + bytes + ':'])
    const fill = () => limit(fs.statSync(folder + '/jobs.db-wal').size)
    const free = () => limit('unlimited')`
}

/** Runs `body` in a process of its own, with an empty `folder`, and `fill` and `free` for its disk. `skip` says why it cannot be done here. */
export async function runWithLimitedDisk (limit: Limit, body: string): Promise<{ output: string, skip?: string }> {
  const probe = limit === 'disk' ? [...OWN_MOUNTS, 'mount', '-t', 'tmpfs', 'none', tmpdir()] : ['prlimit', '--version']
  const [command, ...args] = probe
  try {
    await run(command!, args)
  } catch {
    return { output: '', skip: `this system lets nobody limit the ${limit}` }
  }
  const folder = await mkdtemp(join(tmpdir(), 'limited-disk-'))
  try {
    return await runChild(`
      const [{ execFileSync }, fs] = await Promise.all([import('node:child_process'), import('node:fs')])
      const folder = ${JSON.stringify(folder)}
      ${prepare[limit]}
      ${body}`, { isCovered: false, wrapper: limit === 'disk' ? OWN_MOUNTS : [] })
  } finally {
    await rm(folder, { recursive: true })
  }
}
