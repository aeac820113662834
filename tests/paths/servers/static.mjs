// Files as Express serves them: static.mjs ROOT PORT MODULES
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const [root, port, modules] = process.argv.slice(2)
const serve = createRequire(join(modules, 'node_modules/'))('serve-static')(root)

createServer((request, response) => {
  serve(request, response, () => response.writeHead(404).end())
}).listen(Number(port), '127.0.0.1')
