// Reads an AsyncAPI document with AsyncAPI's own parser: exit 1 when it is none, or has errors or warnings.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const WARNING = 1;
const NEWER_VERSIONS = "asyncapi-latest-version"; // tools that read 3.0 are many more than those that read the newest

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const wrong = diagnostics.filter((found) => found.severity <= WARNING && found.code !== NEWER_VERSIONS);
for (const found of wrong) console.error(`${found.code} at ${found.path.join("/")}: ${found.message}`);
if (!document || wrong.length > 0) process.exit(1);
console.log(`${process.argv[2]}: AsyncAPI ${document.version()}, ${document.allMessages().all().length} messages`);
