// SPDX-License-Identifier: Apache-2.0
// The one include. Headers are in the order in which data flows: a checkpoint becomes weights in the shape of
// the expression, a picture becomes tiles, text becomes ids, and a session lets them meet.
//
//     auto model = llamavision::load<llamavision::llama_3_2_11b_vision>("Llama-3.2-11B-Vision-Instruct/");
//     auto chat = model.chat();
//     auto photo = llamavision::image::open("dog.jpg");
//     for (std::string_view piece : chat.ask(photo, "Describe this image in two sentences."))
//         std::cout << piece << std::flush;
#pragma once

#include <llamavision/support/error.hpp>
#include <llamavision/version.hpp>

#include <llamavision/config/llama_3_2.hpp>
#include <llamavision/config/tiny.hpp>

#include <llamavision/checkpoint/open.hpp>

#include <llamavision/expression/bind.hpp>
#include <llamavision/expression/count.hpp>
#include <llamavision/expression/describe.hpp>
#include <llamavision/expression/run.hpp>

#include <llamavision/model/mllama.hpp>

#include <llamavision/backend/scalar/scalar.hpp>
#include <llamavision/backend/simd/simd.hpp>

#include <llamavision/image/open.hpp>
#include <llamavision/image/tiles.hpp>

#include <llamavision/tokens/chat.hpp>
#include <llamavision/tokens/sampler.hpp>
#include <llamavision/tokens/tokenizer.hpp>

#include <llamavision/load.hpp>
#include <llamavision/runtime/conversation/chat.hpp>
#include <llamavision/runtime/load.hpp>
