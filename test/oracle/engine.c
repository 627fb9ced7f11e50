/*
 * SPDX-License-Identifier: MIT
 *
 * engine.c - Node, running oracle.mjs, at the other end of two pipes.
 *
 * When it is gone, or cannot be started, the process ends with status 2: that
 * says nothing about avow.
 */
#include "engine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
	int to, from;
	pid_t pid;
} engine;

void engine_start(const char *script)
{
	int to[2], from[2];
	if (pipe(to) || pipe(from)) {
		perror("oracle: pipe");
		exit(2);
	}
	engine.pid = fork();
	if (!engine.pid) {
		dup2(to[0], 0);
		dup2(from[1], 1);
		close(to[1]);
		close(from[0]);
		execlp("node", "node", "--unhandled-rejections=none", script,
		       (char *)NULL);
		perror("oracle: node");
		_exit(2);
	}
	close(to[0]);
	close(from[1]);
	engine.to = to[1];
	engine.from = from[0];
}

void engine_stop(void)
{
	close(engine.to);
	close(engine.from);
	waitpid(engine.pid, NULL, 0);
}

static void engine_write(const void *data, size_t size)
{
	const char *at = data;
	while (size) {
		const ssize_t n = write(engine.to, at, size);
		if (n <= 0) {
			fputs("oracle: node is gone\n", stderr);
			exit(2);
		}
		at += n;
		size -= (size_t)n;
	}
}

static void engine_read(void *data, size_t size)
{
	char *at = data;
	while (size) {
		const ssize_t n = read(engine.from, at, size);
		if (n <= 0) {
			fputs("oracle: node gave no answer\n", stderr);
			exit(2);
		}
		at += n;
		size -= (size_t)n;
	}
}

void engine_send(const struct program *programs, size_t count)
{
	static uint8_t bytes[BATCH_MAX * (1 + OPS_MAX * OP_SIZE)];
	size_t size = 0;
	for (size_t k = 0; k < count; k++) {
		bytes[size++] = programs[k].count;
		memcpy(bytes + size, programs[k].ops,
		       programs[k].count * (size_t)OP_SIZE);
		size += programs[k].count * (size_t)OP_SIZE;
	}
	const int32_t head[2] = { (int32_t)count, (int32_t)size };
	engine_write(head, sizeof(head));
	engine_write(bytes, size);
}

int16_t *engine_receive(void)
{
	static int16_t *answer;
	static size_t room;
	int32_t size;
	engine_read(&size, sizeof(size));
	if ((size_t)size > room) {
		room = (size_t)size * 2;
		free(answer);
		answer = malloc(room);
		if (!answer)
			abort();
	}
	engine_read(answer, (size_t)size);
	return answer;
}

int16_t *engine_trace(int16_t *at, struct trace *trace)
{
	trace->count = (uint16_t)at[0] | (size_t)(uint16_t)at[1] << 16;
	trace->tokens = at + 2;
	return at + 2 + trace->count;
}
