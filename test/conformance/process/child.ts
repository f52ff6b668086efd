// A process of an app, steered by its parent.
import { ProcessApp } from './process-app.ts'
import type { Answer, Call } from './commands.ts'
import type { ProcessPlace } from './settings.ts'

const app = await ProcessApp.load(JSON.parse(process.argv[2]!) as ProcessPlace)

// Whoever is left without a parent goes, too.
const leave = (): void => process.exit(1)
process.once('disconnect', leave)

process.on('message', async (message) => {
  const { call, command, argument } = message as Call
  const answer = await run(command, argument).then(
    (result): Answer => ({ call, result }),
    (error: Error & { code?: string }): Answer => ({ call, error: { message: String(error?.stack ?? error), code: error?.code } })
  )
  process.send!(answer, () => {
    if (command !== 'close') return
    process.off('disconnect', leave)
    process.disconnect()
  })
})

process.send!('loaded')

async function run (command: Call['command'], argument: unknown): Promise<unknown> {
  return app[command](argument as never)
}
