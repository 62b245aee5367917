import { openConversation } from 'codexbox'

const chat = await openConversation({ workspace: '.' })
const run = chat.run('What is in this folder?')
for await (const event of run) {
  if (event.type === 'text.delta') process.stdout.write(event.text)
}
const { status } = await run.result
if (status === 'done') console.log((await chat.run('And what is missing?').result).text)
await chat.close()
