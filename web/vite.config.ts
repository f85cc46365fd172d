import { tanstackRouter } from '@tanstack/router-plugin/vite';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

const server = process.env.CLOUDFREEDOM_URL ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [tanstackRouter({ target: 'react', autoCodeSplitting: true }), react()],
  build: { outDir: 'dist', assetsDir: 'assets', target: 'es2022' },
  server: {
    // The Host header chooses portal or chat, so it is passed on as the browser sent it.
    proxy: {
      '/api': { target: server, changeOrigin: false },
      '/v1': { target: server, changeOrigin: false },
    },
  },
  test: { include: ['src/**/*.test.ts', 'src/**/*.test.tsx', 'tests/**/*.test.ts'] },
});
