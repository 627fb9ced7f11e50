/*
 * SPDX-License-Identifier: MIT
 *
 * engine.h - the JavaScript engine that programs are sent to.
 */
#ifndef AVOW_TEST_ORACLE_ENGINE_H
#define AVOW_TEST_ORACLE_ENGINE_H

#include "run.h"

/* So many programs may be sent at once. */
enum { BATCH_MAX = 256 };

void engine_start(const char *script);
void engine_stop(void);
void engine_send(const struct program *programs, size_t count);
/* The answer to a batch, good until the next: for each program the trace of its
 * events and that of its outcomes, each of which engine_trace() takes off. */
int16_t *engine_receive(void);
int16_t *engine_trace(int16_t *at, struct trace *trace);

#endif
