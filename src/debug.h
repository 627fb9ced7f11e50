/*
 * SPDX-License-Identifier: MIT
 *
 * debug.h - what only AVOW_DEBUG builds do: the numbered invariants of node.h
 * at every entry, and the memory of values that were lent.  Nothing otherwise.
 */
#ifndef AVOW_SRC_DEBUG_H
#define AVOW_SRC_DEBUG_H

#include "loop.h"

#ifdef AVOW_DEBUG
void promise_check(const avow_loop *loop, const avow_promise *p);
/* `value`, which somebody else owns, was shown to the running handler. */
void avow__lend(avow_value value);
/* It was taken or copied: giving it away is fine now. */
void avow__unlend(avow_value value);
/* `value` is given away at `p`: it must not be one that was only lent. */
void avow__lent_check(avow_loop *loop, const avow_promise *p,
		      avow_value value);
/* The same, inside of a handler, whose own argument must not be given away
 * either: only returning it passes it on. */
void avow__given_check(avow_value value);
/* The handler has returned: nothing is lent any longer. */
void avow__lent_end(avow_loop *loop);
#else
#define promise_check(loop, p) ((void)0)
#define avow__lend(value) ((void)0)
#define avow__unlend(value) ((void)0)
#define avow__lent_check(loop, p, value) ((void)0)
#define avow__given_check(value) ((void)0)
#define avow__lent_end(loop) ((void)0)
#endif

#endif
