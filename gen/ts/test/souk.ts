// Starts a souk dev for the tests.
import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const binary = "../../bin/souk"; // from gen/ts, where npm runs the tests
const startTimeout = 120_000;

export interface Running {
  url: string;
  /** Returns a bearer token of souk dev's sign-in. The user is created on first use. */
  token(email: string, ...flags: string[]): Promise<string>;
  stop(): Promise<void>;
}

export async function start(): Promise<Running> {
  const dir = await mkdtemp(join(tmpdir(), "souk-client-"));
  const data = ["--data-dir", join(dir, "data")];
  const address = `127.0.0.1:${await freePort()}`;
  const dev = spawn(binary, ["dev", "--ephemeral", "--http", address, ...data], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = new Promise<void>((resolve) => {
    dev.once("exit", () => resolve());
    dev.once("error", () => resolve()); // it did not start
  });
  const stop = async () => {
    dev.kill("SIGINT");
    await exited;
    await rm(dir, { recursive: true, force: true });
  };
  try {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("souk dev did not start in time")), startTimeout);
      timer.unref();
      createInterface(dev.stdout).on("line", (line) => {
        if (line.startsWith("souk is ready on ")) resolve();
      });
      dev.once("error", reject);
      dev.once("exit", (code) => reject(new Error(`souk dev ended with ${code}`)));
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url: `http://${address}`,
    async token(email, ...flags) {
      const { stdout } = await promisify(execFile)(binary, ["token", "--email", email, ...flags, ...data]);
      return stdout.trim();
    },
    stop,
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (address && typeof address === "object" ? resolve(address.port) : reject(new Error("no port"))));
    });
  });
}
