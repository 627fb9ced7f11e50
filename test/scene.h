/*
 * SPDX-License-Identifier: MIT
 *
 * The scene of the tests of re-entrancy: whatever the library calls may do
 * whatever it likes.
 *
 *     static void prepare(void)	brings the callback about
 *     {
 *             scene_self(avow_then(avow_resolved(scene.loop, ...), handler, 0));
 *     }
 *     scene_try_all(prepare, 1);	in a test: the callback comes once
 *
 * where the callback calls scene_act().  It does one of six things, each on a
 * loop of its own: cancel the promise the callback belongs to, release another,
 * attach to another, settle another, run the loop nested, free the loop.  What
 * must have come of it is looked at afterwards.
 */
#ifndef AVOW_TEST_SCENE_H
#define AVOW_TEST_SCENE_H

#include "fixture.h"

enum act { CANCEL_SELF, RELEASE, ATTACH, SETTLE, NEST, FREE, ACTS };

extern const char *const scene_act_names[ACTS];

struct scene {
	enum act act;
	avow_loop *loop;     /* NULL once it was freed */
	avow_promise *self;  /* slot: the promise the callback belongs to */
	avow_promise *held;  /* slot: settled, held by the scene */
	avow_promise *other; /* slot: pending */
	int calls;	     /* of the callback */
	int held_handlers, other_handlers, nested_jobs;
};

extern struct scene scene;

/* What the callback does, the first time it is called. */
void scene_act(void);
/* `p`, whose callback it is: what CANCEL_SELF cancels. */
avow_promise *scene_self(avow_promise *p);
/* For each act: open the scene, prepare, run fx.ev, look. */
void scene_try_all(void (*prepare)(void), int calls);
/* The same by hand. */
void scene_open(enum act act);
void scene_look(int calls);

#endif /* AVOW_TEST_SCENE_H */
