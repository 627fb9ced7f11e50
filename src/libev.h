/*
 * SPDX-License-Identifier: MIT
 *
 * libev.h - for the files that know libev: libev.c, which drives a loop by it,
 * and those of watchers, which make promises and emitters of its watchers.
 */
#ifndef AVOW_SRC_LIBEV_H
#define AVOW_SRC_LIBEV_H

#include "lifecycle.h"

#include <ev.h>

#if EV_VERSION_MAJOR < 4 || (EV_VERSION_MAJOR == 4 && EV_VERSION_MINOR < 15)
#error "avow needs libev 4.15 or later"
#endif

#endif
