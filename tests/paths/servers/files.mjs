// Files as applications in Node serve them that do it by themselves: files.mjs ROOT PORT
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'

const [root, port] = process.argv.slice(2)

createServer(async (request, response) => {
  try {
    const { pathname } = new URL(request.url, 'http://localhost')
    const file = join(root, decodeURIComponent(pathname))
    if (!file.startsWith(root)) throw new Error('outside')
    response.end(await readFile(file.endsWith('/') ? join(file, 'index.html') : file))
  } catch {
    response.writeHead(404).end()
  }
}).listen(Number(port), '127.0.0.1')
