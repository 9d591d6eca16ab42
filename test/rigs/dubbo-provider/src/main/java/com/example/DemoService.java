package com.example;

public interface DemoService {
    int add(int left, int right);

    String sayHello(String name);
}
