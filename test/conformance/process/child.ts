// A process for apps, steered by its parent: `child.ts <url of the target>`.
import * as nodeModule from 'node:module'
import type { ConformanceTarget } from '../target.ts'
import type { Answer, Call } from './commands.ts'
import { ProcessApp } from './process-app.ts'

// No `await` out here: it is published as CommonJS, too.
const app = import(process.argv[2]!).then((target: ConformanceTarget) => new ProcessApp(target))

// Whoever is left without a parent goes, too.
const orphaned = (): void => process.exit(1)
process.once('disconnect', orphaned)

process.on('message', async (message) => {
  const { call, command, argument } = message as Call
  const answer = await run(command, argument).then(
    (result): Answer => ({ call, result }),
    (error: Error & { code?: string }): Answer => ({ call, error: { message: String(error?.stack ?? error), code: error?.code } })
  )
  process.send!(answer, () => {
    if (command !== 'leave') return
    process.off('disconnect', orphaned)
    process.disconnect()
  })
})

app.then(() => {
  process.send!('loaded')
  // Node.js writes its compile cache when a process ends by itself; most of these are killed. Node.js 20 has none.
  ;(nodeModule as { flushCompileCache? (): void }).flushCompileCache?.()
})

async function run (command: Call['command'], argument: unknown): Promise<unknown> {
  return (await app)[command](argument as never)
}
