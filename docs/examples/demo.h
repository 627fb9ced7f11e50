/*
 * SPDX-License-Identifier: MIT
 *
 * demo.h - the five parts of the demo.  Each prints what it does, runs the
 * loop until its work is done, and says whether all went as it should.
 */
#ifndef DEMO_H
#define DEMO_H

#include <avow.h>
#include <stdbool.h>
#include <stddef.h>

bool order_demo(avow_loop *loop);
bool photo_demo(avow_loop *loop);
bool compare_demo(avow_loop *loop);
bool many_demo(avow_loop *loop);
bool cost_demo(avow_loop *loop, size_t step_count);

/* The last handler of a chain that should not fail: tell, and clear `ok`. */
avow_value demo_failed(avow_value error, void *ok);

#endif /* DEMO_H */
