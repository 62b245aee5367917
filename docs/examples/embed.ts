import { openConversation } from 'codexbox'

const chat = await openConversation({ workspace: '.' })
for (const prompt of ['What is in this folder?', 'And what is missing?']) {
  const run = chat.run(prompt)
  for await (const event of run) if (event.type === 'tool.started') console.error(event.name)
  const { status, text, error } = await run.result
  if (status === 'done') console.log(text)
  else console.error(error?.message ?? status)
}
await chat.close()
